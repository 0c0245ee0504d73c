-- Which life of the server this is, whether it evicts, and how full it is. Each relay asks at every turn: the whole INFO would be
-- two hundred lines to read each time.
-- KEYS: the mark that a flush takes away. ARGV: a new mark. At maxmemory there is none.
redis.pcall('set', KEYS[1], ARGV[1], 'NX')
local memory = redis.call('info', 'memory')
return {
  string.match(redis.call('info', 'server'), 'run_id:(%x+)') or '',
  string.match(memory, 'maxmemory_policy:([%w-]+)') or 'noeviction',
  redis.call('get', KEYS[1]),
  string.match(memory, 'used_memory:(%d+)') or '0',
  string.match(memory, '[^_]maxmemory:(%d+)') or '0',
}
