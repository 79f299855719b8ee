#!lua flags=allow-oom,no-cluster
-- Messages of a worker to the owners of its tasks. A word about a task counts only while this delivery holds its lease, or
-- the server forgot the lease and nobody else has the task; a final one is written to the owner's stream first and then
-- ends the task. Money was spent whether or not it counts.
-- ARGV: namespace, group, consumer, bytes that stay in an entry, milliseconds a stream lives, id of the server process; then
--       per message kind (f final, s word, a question, m money), pool, lane, id, deliveries, key, owner at delivery, tag,
--       payload, number of a question, era.
-- Returns one number per message: 1 sent, 0 refused.
local ns, group, me, inline, keep = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]
--include standing
local sent, touched, stamp, era = {}, {}, nil, era_of(ARGV[6])
for i = 7, #ARGV, 11 do
  local kind, pool, lane, id, key = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 5]
  local queue, open = ns .. ':q:' .. pool .. ':' .. lane, ns .. ':open:' .. pool
  local owner, how = ARGV[i + 6], 'lost'
  if kind ~= 'm' then how = standing(me, pool, lane, id, tonumber(ARGV[i + 4]), key, ARGV[i + 10] == era) end
  if kind == 'm' or how ~= 'lost' then
    local known = redis.call('HGET', open, key)
    if known then owner = string.match(known, '(%S+)$') end
    local box, payload = ns .. ':in:' .. owner, ARGV[i + 8]
    if #payload > inline then
      if not stamp then
        local clock = redis.call('TIME')
        stamp = ns .. ':blob:' .. me .. ':' .. clock[1] .. ':' .. clock[2]
      end
      local blob = stamp .. ':' .. i
      redis.call('SET', blob, payload, 'PX', keep)
      redis.call('XADD', box, '*', 't', ARGV[i + 7], 'r', blob, 'i', ARGV[i + 9], 'w', me)
    else
      redis.call('XADD', box, '*', 't', ARGV[i + 7], 'b', payload, 'i', ARGV[i + 9], 'w', me)
    end
    if not touched[box] then
      touched[box] = true
      redis.call('PEXPIRE', box, keep)
    end
    if kind == 'f' then
      if how == 'held' or how == 'back' then
        redis.call('XACK', queue, group, id)
        redis.call('XDEL', queue, id)
        redis.call('HDEL', open, key)
        redis.call('HDEL', ns .. ':body:' .. pool, key)
      else
        take_out(pool, key)
      end
    end
    sent[#sent + 1] = 1
  else
    sent[#sent + 1] = 0
  end
end
return sent
