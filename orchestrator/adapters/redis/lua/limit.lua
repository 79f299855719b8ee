#!lua flags=allow-oom,no-cluster
-- Requests and tokens per minute of one endpoint, for everybody who shares this server. A bucket fills evenly up to a
-- minute's worth and may be in debt to slots that lie ahead.
-- ARGV: namespace, operation, endpoint, requests per minute or '', tokens per minute or '', now in seconds or '' for the
--       server's clock, seconds that a slot nobody settles is kept; then what the operation needs.
-- reserve: ticket, tokens -> seconds to wait. start: ticket -> seconds to wait. settle: ticket, requests to give back,
-- tokens used. cool: seconds.
local ns, op, endpoint = ARGV[1], ARGV[2], ARGV[3]
local state, slots = ns .. ':limit:' .. endpoint, ns .. ':slots:' .. endpoint
local due_of = ns .. ':due:' .. endpoint
local now = tonumber(ARGV[6])
if not now then
  local clock = redis.call('TIME')
  now = tonumber(clock[1]) + tonumber(clock[2]) / 1000000
end
local keep = tonumber(ARGV[7])

local function exact(number) return string.format('%.17g', number) end

local held = redis.call('HMGET', state, 'rl', 'ra', 'tl', 'ta', 'cool')
local buckets = {}
for index, rate in ipairs({tonumber(ARGV[4]) or 0, tonumber(ARGV[5]) or 0}) do
  if rate > 0 then
    buckets[index] = {
      rate = rate,
      level = math.min(tonumber(held[2 * index - 1]) or rate, rate),
      at = tonumber(held[2 * index]) or now,
    }
  end
end
local cool = tonumber(held[5]) or 0

local function fill(bucket)
  if now > bucket.at then
    bucket.level = math.min(bucket.rate, bucket.level + (now - bucket.at) * bucket.rate / 60)
    bucket.at = now
  end
end

-- Take from both buckets; return when the call may begin.
local function take(tokens)
  local wait = math.max(cool - now, 0)
  for index, amount in ipairs({1, tokens}) do
    local bucket = buckets[index]
    if bucket then
      fill(bucket)
      bucket.level = bucket.level - amount
      wait = math.max(wait, math.max(bucket.at - now, 0) + math.max(-bucket.level, 0) * 60 / bucket.rate)
    end
  end
  return now + wait
end

local function give(requests, tokens)
  for index, amount in ipairs({requests, tokens}) do
    local bucket = buckets[index]
    if bucket then
      fill(bucket)
      bucket.level = math.min(bucket.rate, bucket.level + amount)
    end
  end
end

local function note(ticket, tokens, due, started)
  redis.call('HSET', slots, ticket, tokens .. ' ' .. exact(due) .. ' ' .. started)
  redis.call('ZADD', due_of, exact(due), ticket)
end

local function read(ticket)
  local text = redis.call('HGET', slots, ticket)
  if not text then return nil end
  local tokens, due, started = string.match(text, '^(%S+) (%S+) (%S+)$')
  return tonumber(tokens), tonumber(due), started
end

local function forget(ticket)
  redis.call('HDEL', slots, ticket)
  redis.call('ZREM', due_of, ticket)
end

local answer = '0'
if op == 'reserve' then
  for _, old in ipairs(redis.call('ZRANGEBYSCORE', due_of, '-inf', exact(now - keep), 'LIMIT', 0, 100)) do forget(old) end
  local ticket, tokens = ARGV[8], tonumber(ARGV[9])
  local _, due = read(ticket)
  if not due then
    due = take(tokens)
    note(ticket, ARGV[9], due, '0')
  end
  answer = exact(math.max(due - now, 0))
elseif op == 'start' then
  local tokens, due = read(ARGV[8])
  if due then
    if due - now < 0.000001 then
      note(ARGV[8], string.format('%d', tokens), due, '1')
    else
      answer = exact(due - now)
    end
  end
elseif op == 'settle' then
  local tokens = read(ARGV[8])
  if tokens then
    forget(ARGV[8])
    give(tonumber(ARGV[9]), tokens - tonumber(ARGV[10]))
  end
elseif op == 'cool' then
  local till = now + tonumber(ARGV[8])
  if till > cool then
    cool = till
    local waiting = {}
    for _, ticket in ipairs(redis.call('ZRANGE', due_of, 0, -1)) do
      local tokens, _, started = read(ticket)
      if tokens and started == '0' then waiting[#waiting + 1] = {ticket, tokens} end
    end
    for _, one in ipairs(waiting) do give(1, one[2]) end
    for index = 1, 2 do
      local bucket = buckets[index]
      if bucket then
        -- To fill from then on: a full minute at once is what the endpoint just complained about.
        fill(bucket)
        bucket.level, bucket.at = math.min(bucket.level, 0), cool
      end
    end
    for _, one in ipairs(waiting) do note(one[1], string.format('%d', one[2]), take(one[2]), '0') end
  end
end
for index, names in ipairs({{'rl', 'ra'}, {'tl', 'ta'}}) do
  local bucket = buckets[index]
  if bucket then redis.call('HSET', state, names[1], exact(bucket.level), names[2], exact(bucket.at)) end
end
if cool > now then redis.call('HSET', state, 'cool', exact(cool)) end
local live = string.format('%d', math.ceil((math.max(cool - now, 0) + keep) * 1000) + 120000)
for _, key in ipairs({state, slots, due_of}) do redis.call('PEXPIRE', key, live) end
return answer
