# SPDX-License-Identifier: MIT
# Strings, hashes, symbols, JSON and sorting.
require "json"
require "zlib"

ARGV[0].to_i.times do |turn|
  records = (0...12000).map do |n|
    { "id" => n, "name" => "record #{n * 7919 % 1013}", "tags" => (2..9).map { |k| "tag#{n % k}" } }
  end
  text = JSON.generate(records)
  groups = JSON.parse(text).group_by { |record| record["name"] }
  groups.each_value { |list| list.sort_by! { |record| [record["tags"].join, record["id"]] } }
  words = text.scan(/[a-z]+\d+/).map(&:upcase).tally.sort
  puts "#{turn} #{groups.size} #{words.size} #{Zlib.crc32(JSON.generate(groups.sort) + words.inspect)}"
end
