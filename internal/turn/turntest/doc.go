// Package turntest is the suite that whatever grants turns passes: the table
// in a process, and Redis.
package turntest
