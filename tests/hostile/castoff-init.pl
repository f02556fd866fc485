#!/usr/bin/perl
# In castoff-init's place as the first process of a run: it tells what castoff-init would, hears the script, `case N`, and
# then does what the test put into /castoff/case-N: how to go on, what to say first, in hexadecimal, and where to write.
use strict;
use warnings;
$SIG{$_} = 'IGNORE' for qw(TERM INT HUP);
binmode STDOUT;
$| = 1;

sub slurp { my ($path) = @_; open my $file, '<', $path or return ''; local $/; my $text = <$file>; return $text // '' }
sub number { my ($n) = @_; my $bytes = ''; do { my $low = $n & 127; $n >>= 7; $bytes .= chr($low | ($n ? 128 : 0)) } while $n; return $bytes }
sub text { my ($text) = @_; return number(length $text) . $text }
sub list { return number(scalar @_) . join '', @_ }
sub unescaped { my ($text) = @_; $text =~ s/\\([0-7]{3})/chr oct $1/ge; return $text }

my %status = map { /^(\w+):\s*(.*)$/ ? ($1 => $2) : () } split /\n/, slurp('/proc/self/status');
my @limits = map {
    my ($name, $soft, $hard) = (substr($_, 0, 25), substr($_, 26, 20), substr($_, 47, 20));
    s/\s+$//, s/unlimited/18446744073709551615/ for $name, $soft, $hard;
    text($name) . number($soft) . number($hard);
} (split /\n/, slurp('/proc/self/limits'))[1 .. 16];
my @mounts = map {
    my ($left, $right) = split / - /, $_, 2;
    my (undef, undef, $device, $root, $target, $options, @optional) = split / /, $left;
    my ($type, $source, $super) = split / /, $right;
    join '', map { text(unescaped($_)) } $device, $root, $target, $options, "@optional", $type, $source, $super;
} split /\n/, slurp('/proc/self/mountinfo');
chomp(my $digest = slurp('/castoff/digest'));
chomp(my $host = slurp('/proc/sys/kernel/hostname'));
my $ready = chr(0) . text($digest) . number(1)
    . join('', map { number($_) } split ' ', $status{Uid}) . join('', map { number($_) } split ' ', $status{Gid})
    . list(map { number($_) } split ' ', $status{Groups} // '')
    . join('', map { number(hex $status{$_}) } qw(CapInh CapPrm CapEff CapBnd CapAmb))
    . chr($status{NoNewPrivs}) . number($status{Seccomp}) . chr(1)
    . list(@limits) . list(@mounts) . list(text('lo')) . text($host) . list() . text('');
print pack('V', length $ready) . $ready;

sub hear { my ($count) = @_; my $bytes = ''; while (length $bytes < $count) { sysread(STDIN, $bytes, $count - length $bytes, length $bytes) or exit 1 } return $bytes }
my ($length, $start) = (unpack('V', hear(4)), hear(32));
my ($case) = $start =~ /case (\d+)/ or exit 1;
my ($does, $says, $place) = split ' ', slurp("/castoff/case-$case");
sleep 1000 while $does eq 'deaf';
hear($length - 32);
$says = pack 'H*', $says // '';
do { syswrite STDOUT, $says } while $does eq 'flood';
exit 0 if $does eq 'exit';
if ($does eq 'write') { open my $late, '>', "$place/late"; my $end = time + 2; syswrite $late, 'x' while time < $end }
sleep 1000 while 1;
