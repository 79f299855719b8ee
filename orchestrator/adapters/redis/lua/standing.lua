-- Part of renew.lua, post.lua, unknown.lua, revoke.lua and give.lua; uses their `ns` and `group`.
-- A server forgets: it is started anew without its newest writes, or loses its keys. What is missing then was not taken
-- from anybody. Era: "<server process> <ms when it was noticed>", a new one after either.
local function era_of(server)
  local known = redis.call('GET', ns .. ':era')
  if known and string.match(known, '^%S+') == server then return known end
  local clock = redis.call('TIME')
  known = server .. ' ' .. clock[1] .. string.format('%03d', math.floor(tonumber(clock[2]) / 1000))
  redis.call('SET', ns .. ':era', known)
  return known
end

-- How a delivery stands: `held` by its entry; `back`: the lease ended, and nobody has it yet; `kept` by a note that stands
-- for the entry the server forgot; `forgotten`, and nobody else has it; `lost`.
local function standing(me, pool, lane, id, count, key, same_era)
  local row = redis.pcall('XPENDING', ns .. ':q:' .. pool .. ':' .. lane, group, id, id, 1)
  if not row.err and row[1] then
    if row[1][4] ~= count then return 'lost' end
    return row[1][2] == me and 'held' or row[1][2] == '~returned' and 'back' or 'lost'
  end
  local known = redis.call('HGET', ns .. ':open:' .. pool, key)
  if not known then return same_era and 'lost' or 'forgotten' end
  local at, entry = string.match(known, '^(%S+) (%S+) ')
  if at == 'k' and entry == me .. '/' .. id then return 'kept' end
  -- Whoever ends or moves a task changes this line first: with the line unchanged, only the server can have lost the rest.
  if at == lane and entry == id then return 'forgotten' end
  if same_era or at == 'k' then return 'lost' end
  if at == 'd' then return 'forgotten' end
  row = redis.pcall('XPENDING', ns .. ':q:' .. pool .. ':' .. at, group, entry, entry, 1)
  if row.err or not row[1] or row[1][2] == me or row[1][2] == '~returned' then return 'forgotten' end
  return 'lost'
end

-- Take a task out of wherever it is. An entry that was never delivered is not deleted: that would make the lag of its
-- group unknown for good; whoever meets it skips it. Returns who holds it, and under which entry.
local function take_out(pool, key)
  local open = ns .. ':open:' .. pool
  local known = redis.call('HGET', open, key)
  if not known then return end
  local at, id = string.match(known, '^(%S+) (%S+) ')
  redis.call('HDEL', open, key)
  redis.call('HDEL', ns .. ':body:' .. pool, key)
  if at == 'd' then
    redis.call('ZREM', ns .. ':delay:' .. pool, key)
    redis.call('HDEL', ns .. ':later:' .. pool, key)
    return
  end
  if at == 'k' then
    redis.call('ZREM', ns .. ':kept:' .. pool, key)
    return string.match(id, '^(.*)/([^/]*)$')
  end
  local queue = ns .. ':q:' .. pool .. ':' .. at
  local held = redis.pcall('XPENDING', queue, group, id, id, 1)
  if held.err or not held[1] then
    if #redis.call('XRANGE', queue, id, id) > 0 then redis.call('SADD', ns .. ':gone:' .. pool .. ':' .. at, id) end
    return
  end
  redis.call('XACK', queue, group, id)
  redis.call('XDEL', queue, id)
  if held[1][2] ~= '~returned' then return held[1][2], id end
end
