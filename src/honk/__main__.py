from honk.cli import main

main()
