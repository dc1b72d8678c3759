package config

import "strings"

// suggest returns a hint that names the known name nearest to name; "" if none
// is near.
func suggest(name string, known []string) string {
	best, least := "", len(name)/2+1
	last := name[strings.LastIndexByte(name, '.')+1:]
	for _, k := range known {
		d := distance(name, k)
		if strings.HasSuffix(k, "."+last) {
			d = min(d, 1) // the right name in the wrong section
		}
		if d < least {
			best, least = k, d
		}
	}
	if best == "" {
		return "--help and --print-config list what there is"
	}
	return "did you mean " + best + "?"
}

// distance is the number of bytes to insert, delete or replace to make b of a
// (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
