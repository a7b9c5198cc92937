-- SPDX-License-Identifier: MIT
-- Tables, closures and strings; Lua asks malloc for every object.
local state = 42
local function random(limit)
  state = (state * 1103515245 + 12345) % 2147483648
  return (state >> 8) % limit
end

local function tree(depth)
  if depth == 0 then return { tag = random(100) } end
  return { left = tree(depth - 1), right = tree(depth - 1), name = "node" .. depth .. random(1000) }
end

local function sum(node)
  if node.tag then return node.tag end
  return (sum(node.left) * 31 + sum(node.right) + #node.name) % 1000000007
end

for turn = 1, tonumber(arg[1]) do
  local words = {}
  for n = 1, 40000 do words[n] = ("w%05d%s"):format(random(100000), ("x"):rep(random(20))) end
  table.sort(words)
  local text = table.concat(words, " ")
  local _, count = text:gsub("w(%d+)x", "%1")
  print(turn, sum(tree(14)), #text, count)
end
