# SPDX-License-Identifier: MIT
# Hashes of arrays, string building, regular expressions and sorting.
use strict;
use warnings;

my %words;
my $state = 12345;
for my $n (1 .. 60000 * $ARGV[0]) {
  $state = ($state * 1103515245 + 12345) % 2147483648;
  my $word = join '', map { chr(97 + (($state >> $_) & 15)) } 3, 7, 11, 15, 19;
  push @{ $words{substr $word, 0, 3} }, "$word$n";
  delete $words{substr $word, 1, 3} if $n % 17 == 0;
}
my $sum = 0;
for my $key (sort keys %words) {
  my $text = join ' ', sort @{ $words{$key} };
  (my $other = $text) =~ s/([a-h]+)(\d+)/$2$1/g;
  $sum = ($sum * 31 + unpack '%32C*', $other) % 1000000007;
  print "$key ", length $other, "\n";
}
print "$sum\n";
