#!lua flags=allow-oom,no-cluster
-- Give a worker up to `want` tasks: first bring back what nobody holds any more, then walk the lanes, highest first; every
-- eighth take begins at another lane, so that none starves. Within a lane, what came back goes before what is new.
-- ARGV: namespace, group, pool, consumer, want, takes not counted yet, look for ended leases (1 or 0), lease_ms,
--       deliveries at most, deliveries after which a task is held back for a while, milliseconds a stream lives.
-- Returns {next due ms or 0, {{lane, id, deliveries of this entry, key, owner, body}, ...}}.
local ns, group, pool, me = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local want, taken, look, lease = tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7] == '1', ARGV[8]
local most, hold_after, keep = tonumber(ARGV[9]), tonumber(ARGV[10]), ARGV[11]
local open, bodies = ns .. ':open:' .. pool, ns .. ':body:' .. pool
local delay, later = ns .. ':delay:' .. pool, ns .. ':later:' .. pool
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
local LANES = {'1', '2', '3', '4'}
local USUAL = {1, 2, 3, 4}
local TURNS = {{4, 3, 2, 1}, {3, 4, 2, 1}, {2, 4, 3, 1}}

local function queue(lane) return ns .. ':q:' .. pool .. ':' .. lane end

local function fields(list)
  local found = {}
  for i = 1, #list, 2 do found[list[i]] = list[i + 1] end
  return found
end

local function drop(lane, id)
  redis.call('XACK', queue(lane), group, id)
  redis.call('XDEL', queue(lane), id)
  redis.call('SREM', ns .. ':gone:' .. pool .. ':' .. lane, id)
end

local function forget(key)
  redis.call('HDEL', open, key)
  redis.call('HDEL', bodies, key)
end

local function bury(lane, id, f, reason, worker)
  local key = f.k or ''
  redis.call('XADD', ns .. ':dead:' .. pool, 'MAXLEN', '~', '10000', '*', 'k', key, 'o', f.o or '', 'e', f.e or '', 's', f.s or '',
    'l', lane, 'n', f.n or '0', 'w', worker, 'a', tostring(now), 'y', reason,
    'b', f.b or (key ~= '' and redis.call('HGET', bodies, key)) or '')
  drop(lane, id)
end

local function tell(owner, tag, key, worker, why)
  if owner and owner ~= '' then
    redis.call('XADD', ns .. ':in:' .. owner, '*', 't', tag, 'k', key, 'w', worker, 'y', why)
    redis.call('PEXPIRE', ns .. ':in:' .. owner, keep)
  end
end

-- The owner noted for an entry, or false when the entry is not what its key stands for now.
local function owner_of(lane, id, f)
  local known = redis.call('HGET', open, f.k)
  if not known then return false, true end
  local at, entry, owner = string.match(known, '^(%S+) (%S+) (%S+)$')
  if at == lane and entry == id then return owner, false end
  return false, false
end

-- An entry nobody sent is kept for a person to look at; one that was revoked or replaced is not worth a word.
local function valid(lane, id, f, worker)
  if not f.k or not f.o then
    bury(lane, id, f, 'the entry is not one of ours: it has no key or no owner', worker)
    return false
  end
  local owner, absent = owner_of(lane, id, f)
  if owner then return owner end
  if absent and redis.call('SISMEMBER', ns .. ':gone:' .. pool .. ':' .. lane, id) == 0 then
    bury(lane, id, f, 'no owner announced this task: forged, or left over from lost data', worker)
  else
    drop(lane, id)
  end
  return false
end

local function groups()
  for _, lane in ipairs(LANES) do
    local made = redis.pcall('XGROUP', 'CREATE', queue(lane), group, '0', 'MKSTREAM')
    if made.err and not string.find(made.err, 'BUSYGROUP') then error(made.err) end
  end
end

local function read(lane, count)
  local reply = redis.pcall('XREADGROUP', 'GROUP', group, me, 'COUNT', count, 'STREAMS', queue(lane), '>')
  if reply and reply.err then
    if not string.find(reply.err, 'NOGROUP') then return redis.error_reply(reply.err) end
    groups()
    reply = redis.call('XREADGROUP', 'GROUP', group, me, 'COUNT', count, 'STREAMS', queue(lane), '>')
  end
  return reply and reply[1] and reply[1][2] or {}
end

-- 1. What was held back and is due.
local due = redis.call('ZRANGEBYSCORE', delay, '-inf', now, 'LIMIT', 0, 256)
for _, key in ipairs(due) do
  redis.call('ZREM', delay, key)
  local packed = redis.call('HGET', later, key)
  redis.call('HDEL', later, key)
  local known = redis.call('HGET', open, key)
  if packed and known then
    local f = cjson.decode(packed)
    local id
    if f.b then
      id = redis.call('XADD', queue(f.l), '*', 'k', key, 'o', f.o, 'e', f.e, 's', f.s, 'n', f.n, 'b', f.b)
    else
      id = redis.call('XADD', queue(f.l), '*', 'k', key, 'o', f.o, 'e', f.e, 's', f.s, 'n', f.n)
    end
    redis.call('HSET', open, key, f.l .. ' ' .. id .. ' ' .. string.match(known, '(%S+)$'))
  end
end

-- 2. Leases that ended. The whole list is walked: what is live at its head must not hide what is dead behind it.
local function ended(lane, id, worker, count)
  local found = redis.call('XRANGE', queue(lane), id, id)
  if #found == 0 then
    redis.call('XACK', queue(lane), group, id)
    return
  end
  local f = fields(found[1][2])
  local owner = valid(lane, id, f, worker)
  if not owner then return end
  local deliveries = count + tonumber(f.n or '0')
  if f.e == '1' then
    -- It may have changed the world: whether to do it again is the plan's to say, not ours.
    drop(lane, id)
    forget(f.k)
    tell(owner, 'lost', f.k, worker, 'the lease ended')
  elseif deliveries >= most then
    local why = 'delivered ' .. deliveries .. ' times, and no worker brought it to an end'
    bury(lane, id, f, why, worker)
    forget(f.k)
    tell(owner, 'dead', f.k, worker, why)
  elseif deliveries >= hold_after then
    -- It was with more than one worker that died: others get a rest from it.
    drop(lane, id)
    local packed = cjson.encode({l = lane, o = f.o, e = f.e, s = f.s, n = tostring(deliveries), b = f.b})
    redis.call('HSET', later, f.k, packed)
    redis.call('ZADD', delay, now + 1000 * 2 ^ (deliveries - hold_after), f.k)
    redis.call('HSET', open, f.k, 'd 0-0 ' .. owner)
  else
    redis.call('XCLAIM', queue(lane), group, '~returned', 0, id, 'IDLE', 0, 'JUSTID')
  end
end

if look then
  for _, lane in ipairs(LANES) do
    local from = '-'
    while true do
      local page = redis.pcall('XPENDING', queue(lane), group, 'IDLE', lease, from, '+', 500)
      if page.err or #page == 0 then break end
      for _, row in ipairs(page) do
        if row[2] ~= '~returned' then ended(lane, row[1], row[2], row[4]) end
      end
      from = '(' .. page[#page][1]
    end
  end
end

-- 3. The lanes.
local got, empty = {}, {}

local function keep_one(lane, id, list, count)
  local f = fields(list)
  local owner = valid(lane, id, f, me)
  if owner then
    got[#got + 1] = {lane, id, count, f.k, owner, f.b or redis.call('HGET', bodies, f.k) or ''}
  end
end

local function take(lane, count)
  local goal = #got + count
  while #got < goal do
    local back = redis.pcall('XPENDING', queue(lane), group, '-', '+', goal - #got, '~returned')
    if back.err or #back == 0 then break end
    for _, row in ipairs(back) do
      local claimed = redis.call('XCLAIM', queue(lane), group, me, 0, row[1])
      if #claimed == 0 or not claimed[1] then
        redis.call('XACK', queue(lane), group, row[1])
      else
        keep_one(lane, row[1], claimed[1][2], row[4] + 1)
      end
    end
  end
  while #got < goal do
    local fresh = read(lane, goal - #got)
    if fresh.err then error(fresh.err) end
    if #fresh == 0 then
      empty[lane] = true
      return
    end
    for _, row in ipairs(fresh) do keep_one(lane, row[1], row[2], 1) end
  end
end

local turn = ns .. ':turn:' .. pool
taken = taken + tonumber(redis.call('GET', turn) or '0')
while #got < want do
  local before, n, order = #got, nil, nil
  local t = taken + 1
  if t % 8 == 0 then
    order, n = TURNS[math.floor(t / 8) % 3 + 1], 1
  else
    order, n = USUAL, math.min(want - #got, 8 - t % 8)
  end
  for _, index in ipairs(order) do
    local missing = n - (#got - before)
    if missing <= 0 then break end
    if not empty[LANES[index]] then take(LANES[index], missing) end
  end
  taken = taken + #got - before
  if #got == before then break end
end
if #got > 0 or tonumber(ARGV[6]) > 0 then redis.call('SET', turn, string.format('%d', taken)) end
local first = redis.call('ZRANGE', delay, 0, 0, 'WITHSCORES')
return {first[2] and math.max(1, math.floor(tonumber(first[2]) - now)) or 0, got}
