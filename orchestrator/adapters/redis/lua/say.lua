#!lua flags=allow-oom,no-cluster
-- Say one thing to whoever reads this stream. A server that is full takes it, too: what waits for it frees more.
-- ARGV: stream, entries kept or 0 for all, milliseconds it lives; names and values.
if ARGV[2] == '0' then
  redis.call('XADD', ARGV[1], '*', unpack(ARGV, 4))
else
  redis.call('XADD', ARGV[1], 'MAXLEN', '~', ARGV[2], '*', unpack(ARGV, 4))
end
redis.call('PEXPIRE', ARGV[1], ARGV[3])
return 1
