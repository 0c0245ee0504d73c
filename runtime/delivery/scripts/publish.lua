-- KEYS: for each queue its list, its late list, its messages, its wake list.
-- ARGV: a list in MessagePack with, for each message, the number of its queue (from 0), 'late' or '', its id, its data.
-- Answers for each queue how many wait in its list and in its late list.
local given, woken = cmsgpack.unpack(ARGV[1]), {}
for i = 1, #given, 4 do
  local at = given[i] * 4
  redis.call('hset', KEYS[at + 3], given[i + 2], given[i + 3])
  redis.call('rpush', KEYS[given[i + 1] == 'late' and at + 2 or at + 1], given[i + 2])
  woken[KEYS[at + 4]] = (woken[KEYS[at + 4]] or 0) + 1
end
for key, count in pairs(woken) do wake(key, count) end
local depths = {}
for at = 0, #KEYS - 4, 4 do
  depths[#depths + 1] = redis.call('llen', KEYS[at + 1])
  depths[#depths + 1] = redis.call('llen', KEYS[at + 2])
end
return depths
