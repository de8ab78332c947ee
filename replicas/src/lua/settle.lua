-- A batch of what happened, once. KEYS[1]: the replica; ARGV[1]: its connection's number; ARGV[2]: the batch's number, 0
-- when there is nothing but the greeting of a new connection; then item by item.
-- Answers {the first fault in words or '', for each item what is spent of its budget or -1}; a batch that came twice: {''}.

local line, batch = tonumber(ARGV[1]), tonumber(ARGV[2])
local held = redis.call('HMGET', KEYS[1], 'line', 'batch')
local last = tonumber(held[2] or '0')
-- Written first: it fails, when memory is short, before anything else is written.
redis.call('HSET', KEYS[1], 'line', int(math.max(line, tonumber(held[1] or '0'))), 'batch', int(math.max(batch, last)))
redis.call('PEXPIRE', KEYS[1], 86400000)
if batch <= last then
  return { '' }
end

local function rate(k, a)
  local amount, per, burst = tonumber(ARGV[a + 1]), tonumber(ARGV[a + 2]), tonumber(ARGV[a + 3])
  local level = load_rate(KEYS[k], amount, per, burst) - tonumber(ARGV[a + 4])
  save_rate(KEYS[k], math.min(level, burst), amount, per, burst)
end

local function release(k, a)
  redis.call('ZREM', KEYS[k], ARGV[a + 1])
end

local function renew_place(k, a)
  save_place(KEYS[k], ARGV[a + 1], tonumber(ARGV[a + 2]))
end

local function budget(k, a)
  local key, leases, floor, actual = KEYS[k], KEYS[k + 1], tonumber(ARGV[a + 1]), tonumber(ARGV[a + 2])
  local member, expires = ARGV[a + 3], tonumber(ARGV[a + 4])
  local budget, amount = load_budget(key, leases, floor, expires), reserved_by(member) or 0
  if redis.call('ZREM', leases, member) == 1 then
    budget.spent, budget.reserved = budget.spent + actual, budget.reserved - amount
  elseif redis.call('ZREM', leases, 'x' .. member) == 1 then
    budget.spent = budget.spent + math.max(actual - amount, 0) -- The lease ran out: the amount is spent already.
  else
    budget.spent = budget.spent + actual -- Redis lost the reservation, or there was none.
  end
  save_budget(key, budget, expires)
  return budget.spent
end

local function renew_budget(k, a)
  local key, leases, floor, member = KEYS[k], KEYS[k + 1], tonumber(ARGV[a + 1]), ARGV[a + 2]
  local lease, expires = tonumber(ARGV[a + 3]), tonumber(ARGV[a + 4])
  local budget = load_budget(key, leases, floor, expires)
  if redis.call('ZSCORE', leases, 'x' .. member) then
    return budget.spent -- Too late: it counts as spent, until it is settled.
  end
  if save_lease(leases, member, lease, expires) then
    budget.reserved = budget.reserved + reserved_by(member)
    save_budget(key, budget, expires)
  end
  return budget.spent
end

local function trip(k, a)
  local key, deployment, time, channel, most = KEYS[k], ARGV[a + 1], tonumber(ARGV[a + 2]), ARGV[a + 3], tonumber(ARGV[a + 4])
  local known = tonumber(redis.call('HGET', key, deployment) or '0')
  if time <= 0 or known >= now + time then
    return
  end
  if known == 0 and redis.call('HLEN', key) >= most then
    local all = redis.call('HGETALL', key)
    for i = 1, #all, 2 do
      if tonumber(all[i + 1]) <= now then
        redis.call('HDEL', key, all[i])
      end
    end
    if redis.call('HLEN', key) >= most then
      error('there are trips of ' .. int(most) .. ' deployments already', 0)
    end
  end
  redis.call('HSET', key, deployment, int(now + time))
  live_at_least(key, time)
  redis.call('PUBLISH', channel, deployment)
end

-- What each kind does, and how many keys and arguments it has.
local kinds = {
  R = { rate, 1, 5 },
  P = { release, 1, 2 },
  N = { renew_place, 1, 3 },
  B = { budget, 2, 5 },
  M = { renew_budget, 2, 5 },
  T = { trip, 1, 5 },
}

-- Each for itself: what is wrong with one key must not keep the others from being settled, nor have them settled twice.
local answer = { '' }
local k, a = 2, 3
while a <= #ARGV do
  local kind = kinds[ARGV[a]]
  local done, spent = pcall(kind[1], k, a)
  if not done and answer[1] == '' then
    answer[1] = KEYS[k] .. ': ' .. tostring(type(spent) == 'table' and spent.err or spent)
  end
  answer[#answer + 1] = done and spent or -1
  k, a = k + kind[2], a + kind[3]
end
return answer
