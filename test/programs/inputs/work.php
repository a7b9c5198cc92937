<?php
// SPDX-License-Identifier: MIT
// Arrays, strings, objects and regular expressions.
for ($turn = 0; $turn < (int)$argv[1]; $turn++) {
  $records = [];
  for ($n = 0; $n < 20000; $n++) {
    $name = "record " . ($n * 7919 % 1013);
    $records[] = ["id" => $n, "name" => $name, "tags" => ["t" . $n % 7, "u" . $n % 11]];
  }
  $text = json_encode($records);
  $groups = [];
  foreach (json_decode($text) as $record) {
    $groups[$record->name][] = implode(",", $record->tags) . $record->id;
  }
  ksort($groups);
  foreach ($groups as &$group) {
    sort($group);
  }
  unset($group);
  $other = preg_replace('/record (\d+)/', '$1 record', $text);
  echo $turn, " ", count($groups), " ", md5(serialize($groups) . $other), "\n";
}
