"""python -m holocron.runtime.guarding PID: started by a process that leads, and of no use to anybody else."""

from holocron.runtime.guarding.process import main

main()
