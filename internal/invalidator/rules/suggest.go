package rules

import "fmt"

// nearest returns a hint at the known name that is closest to name, or nothing
// if none is close.
func nearest(name string, known []string) string {
	best, least := "", len(name)/2+1 // farther than that is another word
	for _, k := range known {
		if d := distance(name, k); d < least {
			best, least = k, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("did you mean %q?", best)
}

// distance is the number of single-byte edits between a and b (Levenshtein).
func distance(a, b string) int {
	const most = 64 // names are short; a long one is near to none
	if len(a) > most || len(b) > most {
		return most
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			diagonal, row[j] = row[j], min(row[j]+1, row[j-1]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
