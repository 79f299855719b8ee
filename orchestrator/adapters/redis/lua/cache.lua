-- Keeps answers of models within a number and a size; the one used longest ago goes first.
-- ARGV: namespace, operation, now in seconds, then by operation:
--   get TENANT KEY            -> {body, vector, observation...}, or nothing
--   put TENANT KEY BODY EXPIRES SIZE ENTRIES_MAX BYTES_MAX SEEN_MAX SCOPE VECTOR VECTOR_SETS SCOPE_MAX NOBSERVED TAGS...
--   see TENANT KEY OBSERVATION SEEN_MAX
--   drop TENANT KEY TAG       -> how many there were
local prefix, operation, now = ARGV[1] .. ':cache:', ARGV[2], tonumber(ARGV[3])
local tenant, key = ARGV[4], ARGV[5]
local used, sizes, total = prefix .. 'used', prefix .. 'sizes', prefix .. 'bytes'

local function named(part, owner, name)
  return prefix .. part .. ':' .. #owner .. ':' .. owner .. ':' .. name
end

local function member(owner, name)
  return #owner .. ':' .. owner .. ':' .. name
end

local function forget(owner, name)
  local entry = named('e', owner, name)
  local held = redis.call('HMGET', entry, 'scope', 'tags', 'sets')
  local one = member(owner, name)
  local size = redis.call('ZSCORE', sizes, one)
  if size then
    redis.call('DECRBY', total, size)
    redis.call('ZREM', sizes, one)
  end
  redis.call('ZREM', used, one)
  if held[1] and held[1] ~= '' then
    if held[3] == '1' then
      redis.call('VREM', named('v', owner, held[1]), name)
    else
      redis.call('HDEL', named('w', owner, held[1]), name)
    end
  end
  if held[2] then
    for _, tag in ipairs(cjson.decode(held[2])) do
      redis.call('SREM', named('t', owner, tag), name)
    end
  end
  redis.call('DEL', entry, named('o', owner, name))
  return held[2] and 1 or 0
end

if operation == 'get' then
  local held = redis.call('HMGET', named('e', tenant, key), 'body', 'expires', 'vector')
  if not held[1] then
    return {}
  end
  if tonumber(held[2]) <= now then
    forget(tenant, key)
    return {}
  end
  redis.call('ZADD', used, now, member(tenant, key))
  local found = {held[1], held[3]}
  if held[3] ~= '' then
    for _, seen in ipairs(redis.call('LRANGE', named('o', tenant, key), 0, -1)) do
      found[#found + 1] = seen
    end
  end
  return found
end

if operation == 'put' then
  local body, expires, size = ARGV[6], ARGV[7], tonumber(ARGV[8])
  local entries_max, bytes_max, seen_max = tonumber(ARGV[9]), tonumber(ARGV[10]), tonumber(ARGV[11])
  local scope, vector, sets, scope_max = ARGV[12], ARGV[13], ARGV[14], tonumber(ARGV[15])
  local observed = tonumber(ARGV[16])
  local before = redis.call('LRANGE', named('o', tenant, key), 0, -1)
  forget(tenant, key)
  if size > bytes_max then
    return 0
  end
  local tags = {}
  for at = 17 + observed, #ARGV do
    tags[#tags + 1] = ARGV[at]
    redis.call('SADD', named('t', tenant, ARGV[at]), key)
  end
  if scope ~= '' then
    if sets == '1' then
      redis.call('VADD', named('v', tenant, scope), 'FP32', vector, key, 'NOQUANT')
    elseif redis.call('HLEN', named('w', tenant, scope)) < scope_max then
      redis.call('HSET', named('w', tenant, scope), key, vector)
    else
      scope, vector = '', ''
    end
  end
  local told = #tags > 0 and cjson.encode(tags) or '[]'
  redis.call('HSET', named('e', tenant, key), 'body', body, 'expires', expires, 'scope', scope, 'vector', vector,
    'sets', sets, 'tags', told)
  if observed > 0 then
    before = {}
    for at = 17, 16 + observed do
      before[#before + 1] = ARGV[at]
    end
  end
  for _, seen in ipairs(before) do
    redis.call('RPUSH', named('o', tenant, key), seen)
  end
  redis.call('LTRIM', named('o', tenant, key), -seen_max, -1)
  local one = member(tenant, key)
  redis.call('ZADD', used, now, one)
  redis.call('ZADD', sizes, size, one)
  redis.call('INCRBY', total, size)
  while redis.call('ZCARD', used) > entries_max or tonumber(redis.call('GET', total)) > bytes_max do
    local oldest = redis.call('ZRANGE', used, 0, 0)[1]
    local length, rest = oldest:match('^(%d+):(.*)$')
    forget(rest:sub(1, length), rest:sub(length + 2))
  end
  return 1
end

if operation == 'see' then
  if redis.call('EXISTS', named('e', tenant, key)) == 1 then
    redis.call('RPUSH', named('o', tenant, key), ARGV[6])
    redis.call('LTRIM', named('o', tenant, key), -tonumber(ARGV[7]), -1)
  end
  return 0
end

local dropped = 0
if key ~= '' then
  dropped = dropped + forget(tenant, key)
end
if ARGV[6] ~= '' then
  for _, name in ipairs(redis.call('SMEMBERS', named('t', tenant, ARGV[6]))) do
    dropped = dropped + forget(tenant, name)
  end
end
return dropped
