#!lua flags=allow-oom,no-cluster
-- Put a task that this consumer holds among the dead letters, and tell its owner.
-- ARGV: namespace, group, consumer, milliseconds a stream lives, pool, lane, id, deliveries, key, reason.
local ns, group, me, keep = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local pool, lane, id, count, key, why = ARGV[5], ARGV[6], ARGV[7], tonumber(ARGV[8]), ARGV[9], ARGV[10]
local queue = ns .. ':q:' .. pool .. ':' .. lane
local held = redis.pcall('XPENDING', queue, group, id, id, 1)
if held.err or not held[1] or held[1][2] ~= me or held[1][4] ~= count then return 0 end
local found = redis.call('XRANGE', queue, id, id)
if not found[1] then return 0 end
local f, list = {}, found[1][2]
for j = 1, #list, 2 do f[list[j]] = list[j + 1] end
local clock = redis.call('TIME')
local body = f.b or redis.call('HGET', ns .. ':body:' .. pool, key) or ''
redis.call('XADD', ns .. ':dead:' .. pool, 'MAXLEN', '~', '10000', '*', 'k', key, 'o', f.o or '', 'e', f.e or '', 's', f.s or '',
  'l', lane, 'n', tostring(tonumber(f.n or '0') + count), 'w', me, 'a', clock[1] .. '000', 'y', why, 'b', body)
local known = redis.call('HGET', ns .. ':open:' .. pool, key)
local owner = known and string.match(known, '(%S+)$') or f.o
redis.call('XACK', queue, group, id)
redis.call('XDEL', queue, id)
redis.call('HDEL', ns .. ':open:' .. pool, key)
redis.call('HDEL', ns .. ':body:' .. pool, key)
if owner and owner ~= '' then
  redis.call('XADD', ns .. ':in:' .. owner, '*', 't', 'dead', 'k', key, 'w', me, 'y', why)
  redis.call('PEXPIRE', ns .. ':in:' .. owner, keep)
end
return 1
