#!lua flags=allow-oom,no-cluster
-- Keep a word for whoever drives its run next. A server that is full takes it, too: what waits for it frees more.
-- ARGV: stream, entries kept, milliseconds it lives; tag, body.
redis.call('XADD', ARGV[1], 'MAXLEN', '~', ARGV[2], '*', 't', ARGV[4], 'b', ARGV[5])
redis.call('PEXPIRE', ARGV[1], ARGV[3])
return 1
