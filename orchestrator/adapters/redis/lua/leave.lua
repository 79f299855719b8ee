#!lua flags=allow-oom,no-cluster
-- Remove consumers that hold nothing: this one, and those that have not been heard of for long. Deleting one with
-- entries would lose them. ARGV: namespace, group, consumer or '', idle_ms; then pools.
local ns, group, me, idle = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local removed = 0
for i = 5, #ARGV do
  for lane = 1, 4 do
    local queue = ns .. ':q:' .. ARGV[i] .. ':' .. lane
    local rows = redis.pcall('XINFO', 'CONSUMERS', queue, group)
    if not rows.err then
      for _, row in ipairs(rows) do
        local f = {}
        for j = 1, #row, 2 do f[row[j]] = row[j + 1] end
        if f.pending == 0 and f.name ~= '~returned' and (f.name == me or f.idle > idle) then
          redis.call('XGROUP', 'DELCONSUMER', queue, group, f.name)
          removed = removed + 1
        end
      end
    end
  end
end
if me ~= '' then
  redis.call('DEL', ns .. ':in:' .. me)
  redis.call('HDEL', ns .. ':workers', me)
end
return removed
