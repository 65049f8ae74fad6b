// Package filelock keeps other processes away from files that are being
// written: two servers from one catalogue, a repair from a recording.
package filelock
