#!lua flags=allow-oom,no-cluster
-- Nobody wants these tasks any more: those that wait are skipped by whoever meets them, those that run are cancelled.
-- An entry that was never delivered is not deleted: that would make the lag of its group unknown for good.
-- ARGV: namespace, group, milliseconds a worker's stream lives; then per task pool, key.
local ns, group, keep = ARGV[1], ARGV[2], ARGV[3]
for i = 4, #ARGV, 2 do
  local pool, key = ARGV[i], ARGV[i + 1]
  local open = ns .. ':open:' .. pool
  local known = redis.call('HGET', open, key)
  if known then
    local lane, id = string.match(known, '^(%S+) (%S+) ')
    redis.call('HDEL', open, key)
    redis.call('HDEL', ns .. ':body:' .. pool, key)
    if lane == 'd' then
      redis.call('ZREM', ns .. ':delay:' .. pool, key)
      redis.call('HDEL', ns .. ':later:' .. pool, key)
    else
      local queue = ns .. ':q:' .. pool .. ':' .. lane
      local held = redis.pcall('XPENDING', queue, group, id, id, 1)
      if held.err or #held == 0 then
        if #redis.call('XRANGE', queue, id, id) > 0 then
          redis.call('SADD', ns .. ':gone:' .. pool .. ':' .. lane, id)
        end
      else
        redis.call('XACK', queue, group, id)
        redis.call('XDEL', queue, id)
        if held[1][2] ~= '~returned' then
          local box = ns .. ':in:' .. held[1][2]
          redis.call('XADD', box, '*', 't', 'stop', 'k', key, 'i', id)
          redis.call('PEXPIRE', box, keep)
        end
      end
    end
  end
end
return 1
