#!lua flags=allow-oom,no-cluster
-- One session is one hash: `stamp`, `head`, and a field for each turn. It expires as a whole, so it is there or is not.
-- The names of a tenant's sessions lie in a sorted set, all with one score, in the order of their bytes.
-- ARGV: operation, key of the session, key of the names, name; then what the operation needs.
-- write: stamp to replace, new stamp, head, milliseconds to live, then number and text of each turn -> 1 or 0.
-- begin: the same, and nothing of what was there before stays; the stamp to replace is '' where nothing is.
-- delete -> 1 or 0. page: longest answer; the name is what it comes after -> name, head, name, head, …
local op, session, names, name = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
if op == 'write' or op == 'begin' then
  local held = redis.call('HGET', session, 'stamp') or ''
  if held == ARGV[6] then return 1 end
  if held ~= ARGV[5] then return 0 end
  if op == 'begin' then redis.call('DEL', session) end
  redis.call('HSET', session, 'stamp', ARGV[6], 'head', ARGV[7])
  for at = 9, #ARGV, 2 do redis.call('HSET', session, ARGV[at], ARGV[at + 1]) end
  redis.call('PEXPIRE', session, ARGV[8])
  redis.call('ZADD', names, 0, name)
  local left = redis.call('PTTL', names)
  if left < tonumber(ARGV[8]) then redis.call('PEXPIRE', names, ARGV[8]) end
  return 1
elseif op == 'delete' then
  redis.call('ZREM', names, name)
  return redis.call('DEL', session)
elseif op == 'page' then
  local most, found, after = tonumber(ARGV[5]), {}, name == '' and '-' or '(' .. name
  while #found < 2 * most do
    local some = redis.call('ZRANGE', names, after, '+', 'BYLEX', 'LIMIT', 0, most)
    if #some == 0 then break end
    for _, one in ipairs(some) do
      local head = redis.call('HGET', session .. one, 'head')
      if not head then
        redis.call('ZREM', names, one)
      elseif #found < 2 * most then
        found[#found + 1] = one
        found[#found + 1] = head
      end
    end
    after = '(' .. some[#some]
  end
  return found
end
