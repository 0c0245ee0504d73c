-- Put before each of the other scripts. Scripts write what depends on the time: by effect, which old servers must be told.
redis.replicate_commands()

-- A message's id is `task/copy`.
local function task_of(id) return string.match(id, '^([^/]+)/') or id end

-- `pattern` is the key of a lease with %s for the task. Whether `holder` begins with the consumer: any life of it.
local function is_of(holder, consumer) return string.sub(holder, 1, #consumer + 1) == consumer .. ':' end

-- More tokens than consumers that could be asleep help nobody.
local function wake(key, count)
  for _ = 1, math.min(count, 64 - redis.call('llen', key)) do redis.call('rpush', key, '1') end
end
