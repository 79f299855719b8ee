#!lua flags=no-cluster
-- Queue tasks that nobody knows yet; of known ones only note who owns their run now.
-- ARGV: namespace, owner, bytes of a body that stays in its entry; then per task pool, lane, key, effect, sent_at_s, body.
-- Value of `open:<pool>`, field key: "<lane> <entry id> <owner>"; lane `d` for a task that is held back.
local ns, me, inline = ARGV[1], ARGV[2], tonumber(ARGV[3])
local seen = {}
for i = 4, #ARGV, 6 do
  local pool, lane, key, body = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 5]
  local open = ns .. ':open:' .. pool
  local known = redis.call('HGET', open, key)
  if known then
    local place, owner = string.match(known, '^(%S+ %S+) (%S+)$')
    if owner ~= me then
      redis.call('HSET', open, key, place .. ' ' .. me)
    end
  else
    local queue = ns .. ':q:' .. pool .. ':' .. lane
    local id
    if #body > inline then
      redis.call('HSET', ns .. ':body:' .. pool, key, body)
      id = redis.call('XADD', queue, '*', 'k', key, 'o', me, 'e', ARGV[i + 3], 's', ARGV[i + 4], 'n', '0')
    else
      id = redis.call('XADD', queue, '*', 'k', key, 'o', me, 'e', ARGV[i + 3], 's', ARGV[i + 4], 'n', '0', 'b', body)
    end
    redis.call('HSET', open, key, lane .. ' ' .. id .. ' ' .. me)
    if not seen[pool] then
      seen[pool] = true
      redis.call('SADD', ns .. ':pools', pool)
    end
  end
end
return 1
