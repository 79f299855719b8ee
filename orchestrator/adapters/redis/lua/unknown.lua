#!lua flags=allow-oom,no-cluster
-- Which of these tasks nobody holds and nobody could fetch any more? Those that are there belong to `owner` from here on.
-- ARGV: namespace, group, owner, id of the server process; then per task pool, key.
-- Returns {last id of the owner's stream, {positions}, milliseconds since the server last forgot}.
local ns, group, me = ARGV[1], ARGV[2], ARGV[3]
--include standing
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
local missing, last = {}, {}

local function later(a, b)
  local a1, a2 = string.match(a, '^(%d+)-(%d+)$')
  local b1, b2 = string.match(b, '^(%d+)-(%d+)$')
  a1, a2, b1, b2 = tonumber(a1), tonumber(a2), tonumber(b1), tonumber(b2)
  return a1 > b1 or (a1 == b1 and a2 > b2)
end

local function delivered(queue)
  if last[queue] == nil then
    last[queue] = false
    local info = redis.pcall('XINFO', 'GROUPS', queue)
    if not info.err then
      for _, row in ipairs(info) do
        local f = {}
        for j = 1, #row, 2 do f[row[j]] = row[j + 1] end
        if f.name == group then last[queue] = f['last-delivered-id'] end
      end
    end
  end
  return last[queue]
end

local function there(pool, lane, id, key)
  if lane == 'd' then
    return redis.call('ZSCORE', ns .. ':delay:' .. pool, key) and redis.call('HEXISTS', ns .. ':later:' .. pool, key) == 1
  end
  if lane == 'k' then
    local till = redis.call('ZSCORE', ns .. ':kept:' .. pool, key)
    return till and tonumber(till) > now
  end
  local queue = ns .. ':q:' .. pool .. ':' .. lane
  local held = redis.pcall('XPENDING', queue, group, id, id, 1)
  if held.err or #held == 0 then held = nil end
  if held and held[1][2] ~= '~returned' then return true end
  if #redis.call('XRANGE', queue, id, id) == 0 then return false end
  if held then return true end
  local at = delivered(queue)
  if not at or later(id, at) then return true end
  redis.call('XDEL', queue, id)
  return false
end

for i = 5, #ARGV, 2 do
  local pool, key = ARGV[i], ARGV[i + 1]
  local open = ns .. ':open:' .. pool
  local known = redis.call('HGET', open, key)
  local good = false
  if known then
    local lane, id, owner = string.match(known, '^(%S+) (%S+) (%S+)$')
    good = lane and there(pool, lane, id, key)
    if good and owner ~= me then redis.call('HSET', open, key, lane .. ' ' .. id .. ' ' .. me) end
    if not good then
      if lane ~= 'k' then redis.call('DEL', ns .. ':era') end -- a part of it was lost: workers may have the task still
      redis.call('HDEL', open, key)
      redis.call('HDEL', ns .. ':body:' .. pool, key)
      redis.call('ZREM', ns .. ':kept:' .. pool, key)
    end
  end
  if not good then missing[#missing + 1] = (i - 5) / 2 end
end
local info = redis.pcall('XINFO', 'STREAM', ns .. ':in:' .. me)
local at = '0-0'
if not info.err then
  for j = 1, #info, 2 do
    if info[j] == 'last-generated-id' then at = info[j + 1] end
  end
end
return {at, missing, now - tonumber(string.match(era_of(ARGV[4]), '(%S+)$'))}
