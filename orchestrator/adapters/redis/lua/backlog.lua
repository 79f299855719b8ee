#!lua flags=allow-oom,no-cluster
-- Per pool: {pool, delayed, {per lane {waiting, running, sent_at_s of the oldest waiting or ''}}, running without an entry}.
-- ARGV: namespace, group.
local ns, group = ARGV[1], ARGV[2]
local rows = {}
local clock = redis.call('TIME')
local now = clock[1] .. string.format('%03d', math.floor(tonumber(clock[2]) / 1000))
local function sent(list)
  for j = 1, #list, 2 do
    if list[j] == 's' then return list[j + 1] end
  end
  return ''
end
local names = redis.call('SMEMBERS', ns .. ':pools')
table.sort(names)
for _, pool in ipairs(names) do
  local lanes = {}
  for lane = 1, 4 do
    local queue, gone = ns .. ':q:' .. pool .. ':' .. lane, ns .. ':gone:' .. pool .. ':' .. lane
    local length = redis.call('XLEN', queue)
    if length == 0 then redis.call('DEL', gone) end
    local held = redis.pcall('XPENDING', queue, group)
    local pending, back = 0, 0
    if not held.err then
      pending = held[1]
      for _, row in ipairs(held[4] or {}) do
        if row[1] == '~returned' then back = tonumber(row[2]) end
      end
    end
    local skipped = redis.call('SCARD', gone)
    local waiting = math.max(length - pending - skipped, 0) + back
    local oldest = ''
    if waiting > 0 then
      local from = '-'
      if back > 0 then
        local first = redis.call('XPENDING', queue, group, '-', '+', 1, '~returned')
        local entry = first[1] and redis.call('XRANGE', queue, first[1][1], first[1][1])
        if entry and entry[1] then oldest = sent(entry[1][2]) end
      end
      if oldest == '' then
        local info = redis.pcall('XINFO', 'GROUPS', queue)
        if not info.err then
          for _, row in ipairs(info) do
            local f = {}
            for j = 1, #row, 2 do f[row[j]] = row[j + 1] end
            if f.name == group and f['last-delivered-id'] ~= '0-0' then from = '(' .. f['last-delivered-id'] end
          end
        end
        for _, entry in ipairs(redis.call('XRANGE', queue, from, '+', 'COUNT', math.min(skipped + 1, 1000))) do
          if redis.call('SISMEMBER', gone, entry[1]) == 0 then
            oldest = sent(entry[2])
            break
          end
        end
      end
    end
    lanes[lane] = {waiting, pending - back, oldest}
  end
  rows[#rows + 1] = {pool, redis.call('ZCARD', ns .. ':delay:' .. pool), lanes,
    redis.call('ZCOUNT', ns .. ':kept:' .. pool, now, '+inf')}
end
return rows
