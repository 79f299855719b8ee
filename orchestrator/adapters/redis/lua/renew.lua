#!lua flags=allow-oom,no-cluster
-- Renew the leases that this consumer still holds, and note that it lives. What the server forgot and nobody else has is
-- noted as kept: its work goes on. Returns {era, positions of those that are lost}.
-- ARGV: namespace, group, consumer, what is said of it, id of the server process, lease_ms; then per lease pool, lane, id,
--       deliveries, key, owner at delivery, era.
local ns, group, me, lease = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[6])
--include standing
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
local era, lost = era_of(ARGV[5]), {}
redis.call('HSET', ns .. ':workers', me, clock[1] .. ' ' .. ARGV[4])
for i = 7, #ARGV, 7 do
  local pool, lane, id, key = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 4]
  local how = standing(me, pool, lane, id, tonumber(ARGV[i + 3]), key, ARGV[i + 6] == era)
  if how == 'lost' then
    lost[#lost + 1] = (i - 7) / 7
  elseif how == 'held' or how == 'back' then
    redis.call('XCLAIM', ns .. ':q:' .. pool .. ':' .. lane, group, me, 0, id, 'JUSTID')
  else
    if how == 'forgotten' then
      local known = redis.call('HGET', ns .. ':open:' .. pool, key)
      local owner = known and string.match(known, '(%S+)$') or ARGV[i + 5]
      take_out(pool, key)
      redis.call('HSET', ns .. ':open:' .. pool, key, 'k ' .. me .. '/' .. id .. ' ' .. owner)
      redis.call('SADD', ns .. ':pools', pool)
    end
    redis.call('ZADD', ns .. ':kept:' .. pool, now + lease, key)
  end
end
return {era, lost}
