package containers

import "netbench/internal/proc"

// Use makes the rung of containers of package testenv/services, and returns the roles
// that have to be passed to testenv.Main for it and for servers in containers.
func Use() []proc.Role {
	return []proc.Role{carryRole}
}
