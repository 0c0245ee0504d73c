-- KEYS: the queue's list, its late list, its messages, the consumer's set, heartbeats, the queue's wake list.
-- ARGV: consumer, count, holder ('' takes no leases), the lease's milliseconds, pattern of a lease's key, 'late' when the late
-- list comes first this time.
-- Answers two texts, which cost a client less to read than a list: the lengths of all parts, and the parts, which are an id and
-- its message in turn.
-- The pops stand first: after the first write a script is not refused at maxmemory, and a consumer that takes and acks is
-- what frees memory.
local consumer, count, holder, lease, pattern = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4], ARGV[5]
local first, second = KEYS[1], KEYS[2]
if ARGV[6] == 'late' then first, second = second, first end

-- Of so many that wait longest those are chosen whose turn it is: a queue holds not many more.
local SEEN = 400
-- A message's id is `task/copy` or `task/copy/person`.
local function person_of(id) return string.match(id, '^[^/]*/[^/]*/(.*)$') or '' end

-- How many of each person's this consumer has in its hands.
local function in_hand()
  local counts = {}
  for _, id in ipairs(redis.call('smembers', KEYS[4])) do
    local person = person_of(id)
    counts[person] = (counts[person] or 0) + 1
  end
  return counts
end

-- Takes up to `wanted` out of a list: those first of whom fewest are in hand or before them, in the order of the list.
local function pop_in_turn(list, wanted, counts)
  local waiting = redis.call('lrange', list, 0, SEEN - 1)
  local ranks, persons, other = {}, false, nil
  for at, id in ipairs(waiting) do
    local person = person_of(id)
    persons = persons or (other and person ~= other)
    other = person
    counts[person] = (counts[person] or 0) + 1
    ranks[at] = counts[person]
  end
  if not persons then return redis.call('lpop', list, wanted) or {} end
  local order = {}
  for at in ipairs(waiting) do order[at] = at end
  table.sort(order, function(a, b) return ranks[a] < ranks[b] or (ranks[a] == ranks[b] and a < b) end)
  local taken, gone = {}, 0
  for n = 1, math.min(wanted, #order) do
    taken[n] = waiting[order[n]]
    gone = math.max(gone, order[n])
    waiting[order[n]] = false
  end
  -- What stood before the last of them and was not taken goes back in its place.
  redis.call('lpop', list, gone)
  for at = gone, 1, -1 do
    if waiting[at] then redis.call('lpush', list, waiting[at]) end
  end
  return taken
end

local function pop(list, wanted)
  if wanted < 1 then return {} end
  if holder == '' or redis.call('llen', list) <= wanted then return redis.call('lpop', list, wanted) or {} end
  return pop_in_turn(list, wanted, in_hand())
end

local ids = pop(first, count)
for _, id in ipairs(pop(second, count - #ids)) do ids[#ids + 1] = id end
-- Tokens for what has been taken by now would wake consumers for nothing.
if #ids < count then redis.call('del', KEYS[6]) end
local found, lengths, left_out = {}, {}, false
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
    found[#found + 1], lengths[#lengths + 1] = id, #id
    found[#found + 1], lengths[#lengths + 1] = data, #data
  else
    redis.call('hdel', KEYS[3], id)
    left_out = true
  end
end
-- Who gets fewer than wanted takes the queue for empty, and waits.
if left_out and #ids == count then wake(KEYS[6], 1) end
redis.pcall('zadd', KEYS[5], redis.call('time')[1] * 1000, consumer)
return {table.concat(lengths, ' '), table.concat(found)}
