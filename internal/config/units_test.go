package config

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestSizes(t *testing.T) {
	for in, want := range map[string]int64{
		"0": 0, "7": 7, "7B": 7, "1kB": 1000, "1KiB": 1024, "512MiB": 512 << 20, "512 mib": 512 << 20,
		"10GiB": 10 << 30, "2GB": 2e9, "1TiB": 1 << 40, "1tb": 1e12,
	} {
		if got, err := parseSize(in); err != nil || got != want {
			t.Errorf("%q: %d, %v; want %d", in, got, err, want)
		}
	}
	for _, in := range []string{"", "MiB", "-1", "1.5GiB", "1M", "1 2", "9223372036854775808", "9000000TiB", "1MiBx", "0x10"} {
		if got, err := parseSize(in); err == nil {
			t.Errorf("%q: %d, want an error", in, got)
		}
	}
}

func TestWhatIsShownIsRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64Min(0).Draw(t, "n")
		if got, err := parseSize(formatSize(n)); err != nil || got != n {
			t.Fatalf("%d shown as %s, read as %d, %v", n, formatSize(n), got, err)
		}
		d := time.Duration(n)
		if got, err := parseDuration(formatDuration(d)); err != nil || got != d {
			t.Fatalf("%v shown as %s, read as %v, %v", d, formatDuration(d), got, err)
		}
	})
}

func TestDurations(t *testing.T) {
	for in, want := range map[string]time.Duration{
		"0s": 0, "15s": 15 * time.Second, "24h": 24 * time.Hour, "30d": 30 * day, "1h30m": 90 * time.Minute,
	} {
		if got, err := parseDuration(in); err != nil || got != want {
			t.Errorf("%q: %v, %v; want %v", in, got, err, want)
		}
	}
	for _, in := range []string{"", "5", "-1s", "1.5d", "-2d", "999999999d", "abc"} {
		if got, err := parseDuration(in); err == nil {
			t.Errorf("%q: %v, want an error", in, got)
		}
	}
	for d, want := range map[time.Duration]string{24 * time.Hour: "24h", time.Minute: "1m", 90 * time.Second: "1m30s", 0: "0s", 10 * time.Second: "10s", 10 * time.Minute: "10m"} {
		if got := formatDuration(d); got != want {
			t.Errorf("%v is shown as %s, want %s", d, got, want)
		}
	}
}
