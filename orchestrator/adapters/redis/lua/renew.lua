#!lua flags=allow-oom,no-cluster
-- Renew the leases that this consumer still holds, and note that it lives. Returns the positions of those it has lost.
-- ARGV: namespace, group, consumer, what is said of it; then per lease pool, lane, id, deliveries.
local ns, group, me = ARGV[1], ARGV[2], ARGV[3]
local clock = redis.call('TIME')
local lost = {}
redis.call('HSET', ns .. ':workers', me, clock[1] .. ' ' .. ARGV[4])
for i = 5, #ARGV, 4 do
  local queue, id = ns .. ':q:' .. ARGV[i] .. ':' .. ARGV[i + 1], ARGV[i + 2]
  local held = redis.pcall('XPENDING', queue, group, id, id, 1)
  if not held.err and held[1] and held[1][2] == me and held[1][4] == tonumber(ARGV[i + 3]) then
    redis.call('XCLAIM', queue, group, me, 0, id, 'JUSTID')
  else
    lost[#lost + 1] = (i - 5) / 4
  end
end
return lost
