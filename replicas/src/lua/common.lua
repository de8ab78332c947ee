-- What the scripts share. Times are microseconds of Redis' own clock: replicas' clocks differ.
-- Numbers are doubles: whole numbers up to 2^53 are exact, and nothing stored here is larger.

local EXACT = 9007199254740991
local YEARS = 315360000000 -- ten of them, in milliseconds: the longest that a key lives
local GRACE = 3600000000   -- how long a reservation whose lease ran out is remembered

local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000000 + tonumber(clock[2])

local function int(number)
  return string.format('%.0f', number)
end

-- Redis counts in milliseconds: round up, so that nothing is forgotten too soon.
local function milliseconds(microseconds)
  return int(math.min(math.max(math.ceil(microseconds / 1000), 1), YEARS))
end

local function live_at_least(key, microseconds)
  local wanted = milliseconds(microseconds)
  if redis.call('PTTL', key) < tonumber(wanted) then
    redis.call('PEXPIRE', key, wanted)
  end
end

-- A rate is one string, "level moment". No key: full.
local function rate_text(level)
  return string.format('%.17g ', level) .. int(now)
end

local function load_rate(key, amount, per, burst)
  local held = redis.call('GET', key)
  if not held then
    return burst
  end
  local level, at = string.match(held, '^(%S+) (%d+)$')
  level, at = tonumber(level), tonumber(at)
  if at > now then
    -- Redis' clock went back (another machine took over). Go on from here, instead of standing still until then.
    redis.call('SET', key, rate_text(level), 'KEEPTTL')
    at = now
  end
  return math.min(burst, level + (now - at) * amount / per)
end

-- The key lives until the bucket is full again, which is the same as no key.
local function save_rate(key, level, amount, per, burst)
  local until_full = (burst - level) * per / amount
  if until_full <= 0 then
    redis.call('DEL', key)
  else
    redis.call('SET', key, rate_text(level), 'PX', milliseconds(until_full))
  end
end

-- Places are a sorted set of holders by the end of their leases. Reading writes nothing: a script that has written is no
-- longer refused when memory is short.
local function load_places(key)
  return redis.call('ZCOUNT', key, int(now + 1), '+inf')
end

local function save_place(key, holder, lease)
  redis.call('ZADD', key, int(now + lease), holder)
  redis.call('ZREMRANGEBYSCORE', key, '-inf', int(now))
  live_at_least(key, lease)
end

local function reserved_by(member)
  return tonumber(string.match(member, '^(%d+):'))
end

local function save_budget(key, budget, expires)
  local spent, reserved = math.min(budget.spent, EXACT), math.min(math.max(budget.reserved, 0), EXACT)
  if redis.call('HSET', key, 'spent', int(spent), 'reserved', int(reserved)) > 0 then
    redis.call('PEXPIRE', key, milliseconds(expires))
  end
end

-- A budget is a hash {spent, reserved} and a sorted set of its reservations, "amount:holder" by the end of the lease.
-- What a lease that ran out had reserved is spent; the reservation is remembered for a while as "xamount:holder".
local function load_budget(key, leases, floor, expires)
  local held = redis.call('HMGET', key, 'spent', 'reserved')
  local spent, reserved = tonumber(held[1] or '0'), tonumber(held[2] or '0')
  local budget = { spent = math.max(spent, floor), reserved = reserved }
  local over = redis.call('ZRANGEBYSCORE', leases, '-inf', int(now), 'LIMIT', 0, 100)
  for _, member in ipairs(over) do
    local amount = reserved_by(member) or 0
    budget.spent, budget.reserved = budget.spent + amount, budget.reserved - amount
  end
  if budget.spent ~= spent or budget.reserved ~= reserved then
    save_budget(key, budget, expires)
  end
  for _, member in ipairs(over) do
    redis.call('ZREM', leases, member)
    if reserved_by(member) then
      redis.call('ZADD', leases, int(now + GRACE), 'x' .. member)
    end
  end
  if #over > 0 then
    live_at_least(leases, expires)
  end
  return budget
end

-- Says whether it is a new reservation.
local function save_lease(leases, member, lease, expires)
  local added = redis.call('ZADD', leases, int(now + lease), member)
  live_at_least(leases, math.max(lease, expires))
  return added == 1
end
