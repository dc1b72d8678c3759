// Package backup takes backups of a domain's logs as JetStream holds them, and
// restores them.
//
// A log that comes from a backup has lost its tail: fences that were told to have
// landed are not in it, and the copies that they killed would live again. So every
// restored log ends with an Epoch record of its own from the first instant that
// anybody can see it: the record is appended to the backup's content on a server
// of this process's, and what that server holds then is what is restored. Nodes
// drop what they had, as after any loss of history (G6, G8); nothing has to be
// stopped for that.
//
// Lost by a restore: every value, since nobody knows which of them were fenced
// after the backup; they are loaded again. Kept: the domain, its settings, its
// positions, and with them what sessions and outboxes refer to.
//
// Not in a backup: copies between nodes and requests to load, which are worth
// nothing later; domain events and dead letters, which are not a domain's.
package backup
