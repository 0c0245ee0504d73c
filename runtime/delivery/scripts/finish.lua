-- KEYS: the messages of the queue, the consumer's set; then for each queue that is sent to its list, its messages, its wake list.
-- ARGV: how many sends, pattern of a lease's key; for each send the number of its queue (from 0), its id, its data; for each
-- ack its id and the holder of the lease that is given back ('' keeps it).
-- The sends stand first: at maxmemory the first of them is refused before anything was changed.
local sends, pattern, at, woken = tonumber(ARGV[1]), ARGV[2], 3, {}
for _ = 1, sends do
  local to = ARGV[at] * 3 + 2
  redis.call('hset', KEYS[to + 2], ARGV[at + 1], ARGV[at + 2])
  redis.call('rpush', KEYS[to + 1], ARGV[at + 1])
  woken[KEYS[to + 3]] = (woken[KEYS[to + 3]] or 0) + 1
  at = at + 3
end
for key, count in pairs(woken) do wake(key, count) end
for i = at, #ARGV, 2 do
  local id, holder = ARGV[i], ARGV[i + 1]
  if redis.call('srem', KEYS[2], id) > 0 then redis.call('hdel', KEYS[1], id) end
  if holder ~= '' then
    local key = string.format(pattern, task_of(id))
    if redis.call('get', key) == holder then redis.call('del', key) end
  end
end
