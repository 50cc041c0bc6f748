from mixexp.cli import main

main()
