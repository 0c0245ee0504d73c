-- Puts back what a consumer has fetched: these ids, or all but those it knows of. Answers how many.
-- KEYS: the queue's list, its messages, the consumer's set, its wake list.
-- ARGV: consumer, pattern of a lease's key, 'these' or 'others', ids.
local consumer, pattern, these = ARGV[1], ARGV[2], ARGV[3] == 'these'
local known, working, count = {}, {}, 0
for i = 4, #ARGV do
  known[ARGV[i]] = true
  working[task_of(ARGV[i])] = not these
end
for _, id in ipairs(redis.call('smembers', KEYS[3])) do
  if (known[id] or false) == these then
    redis.call('srem', KEYS[3], id)
    -- With its lease, or whoever fetches it next would take it for a second copy and drop it.
    local key = string.format(pattern, task_of(id))
    local held = not working[task_of(id)] and redis.call('get', key)
    if held and is_of(held, consumer) then redis.call('del', key) end
    if redis.call('hexists', KEYS[2], id) > 0 then
      redis.call('rpush', KEYS[1], id)
      count = count + 1
    end
  end
end
wake(KEYS[4], count)
return count
