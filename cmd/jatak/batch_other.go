//go:build !linux

package main

// batchWork does nothing here: the policy is Linux's.
func batchWork() error { return nil }
