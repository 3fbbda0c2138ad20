package cli

// commands is the table of all commands, in the order in which help lists them.
// A new command is a function in a file of its own that returns a Command, and a
// line here.
func commands() []Command {
	return []Command{
		loadCommand(),
		serveCommand(),
		memoryCommand(),
		raceCommand(),
		poolCommand(),
		gcCommand(),
		filesCommand(),
		beforeAfterCommand(),
		gateCommand(),
		selftestCommand(),
		bisectCommand(),
		profileCommand(),
		pgoCommand(),
		calibrateCommand(),
		recordCommand(),
		compareCommand(),
		envCommand(),
		versionCommand(),
		helpCommand(),
	}
}
