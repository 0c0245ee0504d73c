-- KEYS: the queue's list, its late list, its messages, the consumer's set, heartbeats.
-- ARGV: consumer, count, holder ('' takes no leases), the lease's milliseconds, pattern of a lease's key, 'late' when the late
-- list comes first this time.
-- The pops stand first: after the first write a script is not refused at maxmemory, and a consumer that takes and acks is
-- what frees memory.
local consumer, count, holder, lease, pattern = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4], ARGV[5]
local first, second = KEYS[1], KEYS[2]
if ARGV[6] == 'late' then first, second = second, first end
local ids = redis.call('lpop', first, count) or {}
if #ids < count then
  for _, id in ipairs(redis.call('lpop', second, count - #ids) or {}) do ids[#ids + 1] = id end
end
local found = {}
for _, id in ipairs(ids) do
  local data = redis.call('hget', KEYS[3], id)
  local free = true
  if data and holder ~= '' then
    local key = string.format(pattern, task_of(id))
    local held = redis.call('get', key)
    -- An earlier life of the same worker is dead for certain: it held the lock on the journal. A copy of what this life
    -- works on is the process's own to drop.
    free = not held or is_of(held, consumer)
    if free then redis.call('set', key, holder, 'PX', lease) end
  end
  if data and free then
    redis.call('sadd', KEYS[4], id)
    found[#found + 1] = id
    found[#found + 1] = data
  else
    redis.call('hdel', KEYS[3], id)
  end
end
redis.pcall('zadd', KEYS[5], redis.call('time')[1] * 1000, consumer)
return found
