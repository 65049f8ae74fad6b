package conf

import "strings"

// maxHints bounds how many keys an error lists.
const maxHints = 12

// hint helps with a name that is not among names.
func hint(name string, names []string) string {
	best, least := "", min(max(2, len(name)/3), 4)+1
	for _, n := range names {
		if d := distance(plain(name), plain(n)); d < least {
			best, least = n, d
		}
	}
	switch {
	case best != "":
		return ", did you mean " + best + "?"
	case len(names) == 0:
		return ": there are no keys here"
	case len(names) <= maxHints:
		return ", there are " + strings.Join(names, ", ")
	}
	return ""
}

// plain makes max-lag, maxLag and MAX_LAG the same as max_lag.
func plain(s string) string {
	return strings.ToLower(strings.NewReplacer("_", "", "-", "").Replace(s))
}

// distance is the number of characters to insert, delete, replace or swap with
// their neighbour to turn a into b. Names beyond 64 bytes are far from all.
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 64
	}
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			d := rows[i-1][j-1]
			if a[i-1] != b[j-1] {
				d = 1 + min(d, rows[i-1][j], rows[i][j-1])
			}
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d = min(d, rows[i-2][j-2]+1)
			}
			rows[i][j] = d
		}
	}
	return rows[len(a)][len(b)]
}
