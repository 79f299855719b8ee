#!lua flags=no-cluster
-- Put a dead letter back at the end of its queue, as new. ARGV: namespace, pool, id, bytes that stay in an entry.
-- Returns 1 done, 0 no such letter, -1 the task is queued or running already, -2 it names no task.
local ns, pool, id = ARGV[1], ARGV[2], ARGV[3]
local dead, open = ns .. ':dead:' .. pool, ns .. ':open:' .. pool
local found = redis.call('XRANGE', dead, id, id)
if not found[1] then return 0 end
local f, list = {}, found[1][2]
for j = 1, #list, 2 do f[list[j]] = list[j + 1] end
if not f.k or f.k == '' or not f.o or f.o == '' or not f.b or f.b == '' then return -2 end
if redis.call('HEXISTS', open, f.k) == 1 then return -1 end
local queue, new = ns .. ':q:' .. pool .. ':' .. f.l, nil
if #f.b > tonumber(ARGV[4]) then
  redis.call('HSET', ns .. ':body:' .. pool, f.k, f.b)
  new = redis.call('XADD', queue, '*', 'k', f.k, 'o', f.o, 'e', f.e, 's', f.s, 'n', '0')
else
  new = redis.call('XADD', queue, '*', 'k', f.k, 'o', f.o, 'e', f.e, 's', f.s, 'n', '0', 'b', f.b)
end
redis.call('HSET', open, f.k, f.l .. ' ' .. new .. ' ' .. f.o)
redis.call('SADD', ns .. ':pools', pool)
redis.call('XDEL', dead, id)
return 1
