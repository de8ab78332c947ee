-- All of the items, or none. KEYS[1]: the replica; ARGV[1]: its connection's number; then item by item.
-- Answers {1 | 0, index of the first refusal, longest wait in µs or -1, two numbers for each item}: of a rate what is left and
-- for how many µs it is not full, of a budget what is spent. Or {-1}: nothing was done, because this connection was given up,
-- and its replica has settled as if this had never been asked.

local fence = redis.call('HGET', KEYS[1], 'line')
if fence and tonumber(fence) > tonumber(ARGV[1]) then
  return { -1 }
end

local states, items = {}, {} -- Two items may have the same key: both work on the same copy.
local refused, wait = 0, -1

local function state_of(key, load)
  if not states[key] then
    states[key] = load()
  end
  return states[key]
end

local function refuse(time)
  if refused == 0 then
    refused = #items + 1
  end
  wait = math.max(wait, math.min(time, EXACT))
end

local function try_rate(k, a)
  local key, amount, per = KEYS[k], tonumber(ARGV[a + 1]), tonumber(ARGV[a + 2])
  local burst, count = tonumber(ARGV[a + 3]), tonumber(ARGV[a + 4])
  local state = state_of(key, function()
    local level = load_rate(key, amount, per, burst)
    return { was = level, level = level }
  end)
  -- More than fits into the bucket passes when it is full, and leaves a debt.
  local needed = math.min(count, burst)
  if state.level >= needed then
    state.level = state.level - count
  else
    refuse(math.ceil((needed - state.level) * per / amount))
  end
  return {
    save = function() save_rate(key, state.level, amount, per, burst) end,
    report = function(granted)
      local level = granted and state.level or state.was
      local full_in = math.ceil(math.max(burst - level, 0) * per / amount)
      return math.floor(math.max(level, 0)), math.min(full_in, EXACT)
    end,
  }, k + 1, a + 5
end

local function try_place(k, a)
  local key, max, holder, lease = KEYS[k], tonumber(ARGV[a + 1]), ARGV[a + 2], tonumber(ARGV[a + 3])
  local state = state_of(key, function() return { held = load_places(key) } end)
  if state.held < max then
    state.held = state.held + 1
  else
    refuse(-1) -- Nobody knows when a call ends.
  end
  return {
    save = function() save_place(key, holder, lease) end,
    report = function() return 0, 0 end,
  }, k + 1, a + 4
end

local function try_budget(k, a)
  local key, leases, limit, amount = KEYS[k], KEYS[k + 1], tonumber(ARGV[a + 1]), tonumber(ARGV[a + 2])
  local floor, member, lease, expires = tonumber(ARGV[a + 3]), ARGV[a + 4], tonumber(ARGV[a + 5]), tonumber(ARGV[a + 6])
  local budget = state_of(key, function() return load_budget(key, leases, floor, expires) end)
  if budget.spent + budget.reserved + amount > limit then
    refuse(-1) -- The caller knows when the window ends.
  else
    budget.reserved = budget.reserved + amount
  end
  return {
    save = function()
      -- The hash first: it fails, when memory is short, before anything is written.
      save_budget(key, budget, expires)
      if not save_lease(leases, member, lease, expires) then
        budget.reserved = budget.reserved - amount -- It was reserved before.
        save_budget(key, budget, expires)
      end
    end,
    report = function() return budget.spent, 0 end,
  }, k + 2, a + 7
end

local try = { R = try_rate, P = try_place, B = try_budget }
local k, a = 2, 2
while a <= #ARGV do
  local item
  item, k, a = try[ARGV[a]](k, a)
  items[#items + 1] = item
end

local granted = refused == 0
local answer = { granted and 1 or 0, refused - 1, wait }
for _, item in ipairs(items) do
  if granted then
    item.save()
  end
end
for _, item in ipairs(items) do
  local one, other = item.report(granted)
  answer[#answer + 1] = one
  answer[#answer + 1] = other
end
return answer
