-- Which deployments are left alone: {name, for how many µs, …}. KEYS[1]: the trips.
local all, answer = redis.call('HGETALL', KEYS[1]), {}
for i = 1, #all, 2 do
  local time = tonumber(all[i + 1]) - now
  if time > 0 then
    answer[#answer + 1] = all[i]
    answer[#answer + 1] = time
  end
end
return answer
