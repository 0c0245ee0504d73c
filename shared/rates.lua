-- Buckets by the generic cell rate algorithm: a key holds the moment at which its bucket is empty again.
-- ARGV: "look", "count" or "take"; now; then burst and interval of each key. Answers the seconds to wait, as text; 0 is none.
-- "take" counts where nothing has to be waited for.
-- Whoever asks has read a clock a moment ago, and another may have read a later one and come first: half a second, or a tenth of
-- an interval, is no wait. A burst that comes at once would else lose its last one.
local mode, now, wait = ARGV[1], tonumber(ARGV[2]), 0
for i, key in ipairs(KEYS) do
  local burst, interval = tonumber(ARGV[2 * i + 1]), tonumber(ARGV[2 * i + 2])
  local full = tonumber(redis.call('GET', key) or '0')
  wait = math.max(wait, full + interval - burst * interval - now - math.min(interval / 10, 0.5))
end
if mode == 'count' or (mode == 'take' and wait <= 0) then
  for i, key in ipairs(KEYS) do
    local burst, interval = tonumber(ARGV[2 * i + 1]), tonumber(ARGV[2 * i + 2])
    local full = math.max(tonumber(redis.call('GET', key) or '0'), now) + interval
    redis.call('SET', key, string.format('%.3f', full), 'EX', math.ceil(burst * interval))
  end
end
return string.format('%.3f', math.max(wait, 0))
