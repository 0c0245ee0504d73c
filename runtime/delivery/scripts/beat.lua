-- Says that a consumer lives, takes back what dead consumers of the queue had fetched, renews leases. Answers how many it took.
-- KEYS: the queue's heartbeats, its list, its messages, its wake list.
-- ARGV: consumer, milliseconds after which one is dead, pattern of a consumer's set, pattern of a lease's key, holder, the
-- lease's milliseconds, task ids whose leases are renewed.
local now, patience, moved = redis.call('time')[1] * 1000, tonumber(ARGV[2]), 0
local consumers, leases, holder, lease = ARGV[3], ARGV[4], ARGV[5], ARGV[6]
redis.pcall('zadd', KEYS[1], now, ARGV[1])
for _, dead in ipairs(redis.call('zrangebyscore', KEYS[1], 0, now - patience)) do
  local set = string.format(consumers, dead)
  for _, id in ipairs(redis.call('smembers', set)) do
    -- The lease too: the message would be dropped as a second copy of what the dead one works on.
    local key = string.format(leases, task_of(id))
    local held = redis.call('get', key)
    if held and is_of(held, dead) then redis.call('del', key) end
    if redis.call('hexists', KEYS[3], id) > 0 then
      redis.call('rpush', KEYS[2], id)
      moved = moved + 1
    end
  end
  redis.call('del', set)
  redis.call('zrem', KEYS[1], dead)
end
wake(KEYS[4], moved)
for i = 7, #ARGV do
  local key = string.format(leases, ARGV[i])
  local held = redis.call('get', key)
  if held == holder then redis.call('pexpire', key, lease)
  elseif not held then redis.pcall('set', key, holder, 'PX', lease) end
end
return moved
