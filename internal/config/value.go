package config

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// value reads one setting's text into its field of a [Config], and writes it
// back. Lists arrive with one text per element, everything else with one.
type value interface {
	set(texts []string) error
	show() string
	// kind is the word for --help.
	kind() string
}

// parsed is a value of one text.
type parsed[T any] struct {
	field  *T
	parse  func(string) (T, error)
	format func(T) string
	word   string
}

func (p parsed[T]) set(texts []string) error {
	if len(texts) != 1 {
		return fmt.Errorf("want one value, not a list of %d", len(texts))
	}
	v, err := p.parse(texts[0])
	if err != nil {
		return err
	}
	*p.field = v
	return nil
}

func (p parsed[T]) show() string { return p.format(*p.field) }
func (p parsed[T]) kind() string { return p.word }

func asIs(s string) string { return s }

func text(f *string) value {
	return parsed[string]{f, func(s string) (string, error) { return s, nil }, asIs, "text"}
}

// checked is a text that obeys a rule.
func checked(f *string, word string, check func(string) error) value {
	return parsed[string]{f, func(s string) (string, error) { return s, check(s) }, asIs, word}
}

func oneOf[T ~string](f *T, names ...T) value {
	words := make([]string, len(names))
	for i, n := range names {
		words[i] = string(n)
	}
	return parsed[T]{f, func(s string) (T, error) {
		if v := T(strings.ToLower(s)); slices.Contains(names, v) {
			return v, nil
		}
		return "", fmt.Errorf("want one of %s", strings.Join(words, ", "))
	}, func(v T) string { return string(v) }, strings.Join(words, "|")}
}

func size(f *int64, least int64) value {
	return parsed[int64]{f, func(s string) (int64, error) {
		n, err := parseSize(s)
		if err == nil && n < least {
			err = fmt.Errorf("want at least %s", formatSize(least))
		}
		return n, err
	}, formatSize, "size"}
}

func duration(f *time.Duration) value {
	return parsed[time.Duration]{f, parseDuration, formatDuration, "duration"}
}

// positive is a duration that is not 0.
func positive(f *time.Duration) value {
	return parsed[time.Duration]{f, func(s string) (time.Duration, error) {
		d, err := parseDuration(s)
		if err == nil && d == 0 {
			err = fmt.Errorf("want more than 0")
		}
		return d, err
	}, formatDuration, "duration"}
}

func count(f *int, least int) value {
	return parsed[int]{f, func(s string) (int, error) {
		n, err := strconv.Atoi(s)
		if err != nil || n < least {
			return 0, fmt.Errorf("want a whole number, at least %d", least)
		}
		return n, nil
	}, strconv.Itoa, "number"}
}

func rate(f *float64) value {
	return parsed[float64]{f, func(s string) (float64, error) {
		n, err := strconv.ParseFloat(s, 64)
		if err != nil || math.IsNaN(n) || math.IsInf(n, 0) || n <= 0 {
			return 0, fmt.Errorf("want a number above 0")
		}
		return n, nil
	}, func(n float64) string { return strconv.FormatFloat(n, 'g', -1, 64) }, "number"}
}

// rateOrNone is a rate that may be 0, for none.
func rateOrNone(f *float64) value {
	return parsed[float64]{f, func(s string) (float64, error) {
		n, err := strconv.ParseFloat(s, 64)
		if err != nil || math.IsNaN(n) || math.IsInf(n, 0) || n < 0 {
			return 0, fmt.Errorf("want a number, 0 or above")
		}
		return n, nil
	}, func(n float64) string { return strconv.FormatFloat(n, 'g', -1, 64) }, "number"}
}

func truth(f *bool) value {
	return parsed[bool]{f, func(s string) (bool, error) {
		switch strings.ToLower(s) {
		case "true", "yes", "on", "1":
			return true, nil
		case "false", "no", "off", "0":
			return false, nil
		}
		return false, fmt.Errorf("want true or false")
	}, strconv.FormatBool, kindTruth}
}

const kindTruth = "bool"

// texts is a list. A variable or a flag separates its elements by commas.
type texts struct{ field *[]string }

func (l texts) set(given []string) error {
	*l.field = nil
	for _, t := range given {
		for e := range strings.SplitSeq(t, ",") {
			if e = strings.TrimSpace(e); e != "" {
				*l.field = append(*l.field, e)
			}
		}
	}
	return nil
}

func (l texts) show() string { return strings.Join(*l.field, ",") }
func (l texts) kind() string { return "list" }
