-- KEYS: the messages of the queue, the consumer's set; then for each queue that is sent to its list, its messages, its wake list.
-- ARGV: pattern of a lease's key, and two lists in MessagePack: for each send the number of its queue (from 0), its id, its
-- data; for each ack its id and the holder of the lease that is given back ('' keeps it). Then ids that are acked and are no text.
-- The sends stand first: at maxmemory the first of them is refused before anything was changed.
local pattern, sends, acks, woken = ARGV[1], cmsgpack.unpack(ARGV[2]), cmsgpack.unpack(ARGV[3]), {}
for i = 1, #sends, 3 do
  local to, id = sends[i] * 3 + 2, sends[i + 1]
  redis.call('hset', KEYS[to + 2], id, sends[i + 2])
  redis.call('rpush', KEYS[to + 1], id)
  woken[KEYS[to + 3]] = (woken[KEYS[to + 3]] or 0) + 1
end
for key, count in pairs(woken) do wake(key, count) end
for i = 4, #ARGV do
  acks[#acks + 1] = ARGV[i]
  acks[#acks + 1] = ''
end
for i = 1, #acks, 2 do
  local id, holder = acks[i], acks[i + 1]
  if redis.call('srem', KEYS[2], id) > 0 then redis.call('hdel', KEYS[1], id) end
  if holder ~= '' then
    local key = string.format(pattern, task_of(id))
    if redis.call('get', key) == holder then redis.call('del', key) end
  end
end
