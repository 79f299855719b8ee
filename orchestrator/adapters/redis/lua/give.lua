#!lua flags=allow-oom,no-cluster
-- Hand tasks back unfinished; that counts as no delivery. With a delay nobody gets the task before it has passed.
-- ARGV: namespace, group, consumer; then per task pool, lane, id, deliveries, key, delay_ms.
local ns, group, me = ARGV[1], ARGV[2], ARGV[3]
--include standing
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
local given = 0
for i = 4, #ARGV, 6 do
  local pool, lane, id, count, key = ARGV[i], ARGV[i + 1], ARGV[i + 2], tonumber(ARGV[i + 3]), ARGV[i + 4]
  local queue, wait = ns .. ':q:' .. pool .. ':' .. lane, tonumber(ARGV[i + 5])
  local held = redis.pcall('XPENDING', queue, group, id, id, 1)
  if not held.err and held[1] and held[1][2] == me and held[1][4] == count then
    given = given + 1
    if wait <= 0 then
      redis.call('XCLAIM', queue, group, '~returned', 0, id, 'IDLE', 0, 'RETRYCOUNT', count - 1, 'JUSTID')
    else
      local found, f = redis.call('XRANGE', queue, id, id), {}
      redis.call('XACK', queue, group, id)
      redis.call('XDEL', queue, id)
      local known = redis.call('HGET', ns .. ':open:' .. pool, key)
      if found[1] and known then
        local list = found[1][2]
        for j = 1, #list, 2 do f[list[j]] = list[j + 1] end
        local packed = {l = lane, o = f.o, e = f.e, s = f.s, b = f.b, n = tostring(tonumber(f.n or '0') + count - 1)}
        redis.call('HSET', ns .. ':later:' .. pool, key, cjson.encode(packed))
        redis.call('ZADD', ns .. ':delay:' .. pool, now + wait, key)
        redis.call('HSET', ns .. ':open:' .. pool, key, 'd 0-0 ' .. string.match(known, '(%S+)$'))
      end
    end
  elseif redis.call('HGET', ns .. ':open:' .. pool, key) and standing(me, pool, lane, id, count, key, true) == 'kept' then
    take_out(pool, key) -- there is no entry to hand back: its owner finds it missing and sends it again
    given = given + 1
  end
end
return given
