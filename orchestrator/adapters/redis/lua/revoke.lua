#!lua flags=allow-oom,no-cluster
-- Nobody wants these tasks any more: those that wait are skipped by whoever meets them, those that run are cancelled.
-- Only the owner of a task may say so: to another one it may have been handed over meanwhile.
-- ARGV: namespace, group, milliseconds a worker's stream lives, owner; then per task pool, key.
local ns, group, keep, me = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
--include standing
for i = 5, #ARGV, 2 do
  local pool, key = ARGV[i], ARGV[i + 1]
  local known = redis.call('HGET', ns .. ':open:' .. pool, key)
  if known and string.match(known, '(%S+)$') == me then
    local worker, id = take_out(pool, key)
    if worker then
      local box = ns .. ':in:' .. worker
      redis.call('XADD', box, '*', 't', 'stop', 'k', key, 'i', id)
      redis.call('PEXPIRE', box, keep)
    end
  end
end
return 1
