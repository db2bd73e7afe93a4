import { youngGeneration } from './young_generation.ts';

// On import, and so before the modules behind it in the list of imports are loaded.
youngGeneration.keepSmall();
